"""The Serverless Chaos Demo: three functions, one table, and nothing to protect them."""
