"""Send chat requests from a thread pool, as a bare script does, and keep the labels.

python benchmarks/worker/bare_client.py {requests,urllib3} URL IN_FLIGHT POSTS
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

client, base_url, in_flight, posts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
url = f"{base_url}/v1/chat/completions"
if client == "requests":
    import requests

    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=in_flight)
    session.mount("http://", adapter)

    def post(body: Any) -> Any:
        reply = session.post(url, json=body, timeout=60)
        reply.raise_for_status()
        return reply.json()
else:
    import urllib3

    pool = urllib3.PoolManager(maxsize=in_flight, block=True)

    def post(body: Any) -> Any:
        reply = pool.request(
            "POST",
            url,
            body=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert reply.status == 200
        return json.loads(reply.data)


def label(number: int) -> bool:
    messages = [
        {"role": "system", "content": "Is the post civic?"},
        {"role": "user", "content": json.dumps({"post": f"post {number}"})},
    ]
    body = {"model": "bench", "messages": messages, "temperature": 0, "max_tokens": 100}
    content = post(body)["choices"][0]["message"]["content"]
    return bool(json.loads(content)["civic"])


with ThreadPoolExecutor(in_flight) as threads:
    assert all(threads.map(label, range(posts)))
