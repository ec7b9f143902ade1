"""The same as express.js in Python: FastAPI, httpx, and the history of each client in memory. HISTORY is a file with the
messages that a client has when it is first seen. Address of the upstream in UPSTREAM."""

import json
import os

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

with open(os.environ["HISTORY"], encoding="utf-8") as file:
    past = json.load(file)
url = os.environ["UPSTREAM"] + "/chat/completions"
histories: dict[str, list[dict[str, str]]] = {}
upstream = httpx.AsyncClient(timeout=60)
app = FastAPI()


class Query(BaseModel):
    client_name: str
    input: str


class Answer(BaseModel):
    response: str


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/query")
async def query(asked: Query) -> Answer:
    messages = histories.setdefault(asked.client_name, list(past))
    messages.append({"role": "user", "content": asked.input})
    reply = await upstream.post(url, json={"model": "canned", "messages": messages})
    reply.raise_for_status()
    said = reply.json()["choices"][0]["message"]
    messages.append({"role": said["role"], "content": said["content"]})
    return Answer(response=said["content"])
