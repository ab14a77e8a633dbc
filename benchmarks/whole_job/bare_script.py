"""Label a file of posts from a thread pool, as a script that somebody writes for the day does.

    python bare_script.py URL IN_FLIGHT POSTS.jsonl ANSWERS.parquet

A post is sent until it is answered: again at once after an error, and after a 429 when the time is
over that it names. All answers are written at the end.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import requests

url, in_flight, source, target = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=in_flight))


def label(post):
    messages = [
        {"role": "system", "content": "Is the post civic?"},
        {"role": "user", "content": json.dumps({"post": post["text"]})},
    ]
    body = {"model": "bench", "messages": messages, "temperature": 0, "max_tokens": 100}
    while True:
        reply = session.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        if reply.status_code == 200:
            content = reply.json()["choices"][0]["message"]["content"]
            return {"uri": post["uri"], "civic": bool(json.loads(content)["civic"])}
        time.sleep(float(reply.headers.get("Retry-After", 0)))


posts = [json.loads(line) for line in source.read_text().splitlines()]
with ThreadPoolExecutor(in_flight) as threads:
    rows = list(threads.map(label, posts))
unfinished = target.with_suffix(".tmp")
pq.write_table(pa.Table.from_pylist(rows), unfinished)
unfinished.rename(target)
