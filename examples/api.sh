#!/bin/sh
# The same with curl, by the address that the page printed: sh api.sh 'http://127.0.0.1:7860/?token=...' photo.jpg mask.png filled.jpg
set -eu
photo=$2 mask=$3 output=$4
url=${1%%/\?*} token=${1##*token=}
curl -sSf --noproxy '*' -H "Authorization: Bearer $token" "$url/fill" \
    -F "photo=@$photo" -F "mask=@$mask" -F model=nano -F seed=2 -o "$output"

# With progress as events, the last of which has the file's address:
#   curl -N -H "Authorization: Bearer $token" "$url/fill" -H 'Accept: text/event-stream' -F "photo=@$photo" -F "mask=@$mask"
# As clients of the well-known image-editing API ask (mask.png transparent where to fill, the answer in base64):
#   curl -H "Authorization: Bearer $token" "$url/v1/images/edits" -F "image=@$photo" -F "mask=@$mask" -F n=2
