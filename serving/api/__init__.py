"""The API under `/v1`, as a Starlette application.

    endpoints.py     which endpoint answers what, under which scope: the table that routes and OpenAPI are made of
    calls.py         what a worker answers from, and one request
    answering.py     bodies in, JSON and errors out
    application.py   the application

and a module for each group of endpoints. Every error has one shape: `{"error": {"code", "message", "detail"}}`.
"""
