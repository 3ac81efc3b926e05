"""Ask a running page for a fill: `python api.py "http://127.0.0.1:7860/?token=..." photo.jpg mask.png filled.jpg`.

Needs nothing but Python. The address is the one that the page printed, with its token.
"""

import sys
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

address, photo, mask, output = sys.argv[1:]
url = urlsplit(address)
boundary = uuid.uuid4().hex
body = b""
for name, path in (("photo", Path(photo)), ("mask", Path(mask))):
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
    body += head.encode() + path.read_bytes() + b"\r\n"
for name, value in {"model": "nano", "seed": 2}.items():
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
body += f"--{boundary}--\r\n".encode()

[token] = parse_qs(url.query)["token"]
headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Authorization": f"Bearer {token}"}
ask = build_opener(ProxyHandler({})).open  # this computer is asked directly, whatever proxies there are
with ask(Request(f"{url.scheme}://{url.netloc}/fill", body, headers)) as answer:
    Path(output).write_bytes(answer.read())
