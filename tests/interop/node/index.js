"use strict";
// The function under test in Node: failure-lambda around a handler that asks DynamoDB.
const fs = require("fs");
const AWS = require("aws-sdk");
const failureLambda = require("failure-lambda");

const dynamodb = new AWS.DynamoDB({ maxRetries: 0, httpOptions: { timeout: 2000 } });

// What failure-lambda 0.4 leaves in /tmp: it removes none of it.
const leftOnDisk = () =>
  fs.readdirSync("/tmp").filter((name) => name.startsWith("diskspace-failure-")).length;

exports.handler = failureLambda(async () => {
  try {
    await dynamodb.getItem({ TableName: process.env.TABLE_NAME, Key: { id: { N: "1" } } }).promise();
  } catch (error) {
    console.log("DynamoDB failed: " + error.code);
    return { statusCode: 503, body: "{}" };
  }
  return { statusCode: 200, body: JSON.stringify({ files_left: leftOnDisk() }) };
});
