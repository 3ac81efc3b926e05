#!/bin/sh
# The same with curl: sh api.sh http://127.0.0.1:7860 photo.jpg mask.png filled.jpg
set -eu
url=$1/gradio_api photo=$2 mask=$3 output=$4

# Upload a file; what comes back is ["path"].
upload() { curl -sSf -F "files=@$1" "$url/upload" | cut -d '"' -f 2; }
file() { printf '{"path": "%s", "orig_name": "%s", "meta": {"_type": "gradio.FileData"}}' "$(upload "$1")" "$(basename "$1")"; }

# photo, mask, seed, steps, guidance, dilate, context, model, detail; 0 steps and guidance are the model's own
data="[$(file "$photo"), $(file "$mask"), 2, 0, 0, \"auto\", 2, \"nano\", true]"
event=$(curl -sSf "$url/call/fill" -H 'Content-Type: application/json' -d "{\"data\": $data}" | cut -d '"' -f 4)

# The answer arrives as an event when it is ready; it holds the address of the file.
answer=$(curl -sSfN "$url/call/fill/$event")
curl -sSf "$(printf '%s' "$answer" | sed -n 's/.*"url": "\([^"]*\)".*/\1/p')" -o "$output"
