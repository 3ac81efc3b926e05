"""Ask a running page for a fill: `python api.py http://127.0.0.1:7860 photo.jpg mask.png filled.jpg`."""

import shutil
import sys

from gradio_client import Client, handle_file

url, photo, mask, output = sys.argv[1:]
client = Client(url, analytics_enabled=False, verbose=False)
filled = client.predict(photo=handle_file(photo), mask=handle_file(mask), seed=2, api_name="/fill")
shutil.copyfile(filled, output)
