#!/bin/sh
# Copies the images of this release to another registry, by digest, and writes the manifests for it to mirrored/.
# MIRROR=host/path sh mirror.sh; CRANE names the program crane where it is not on PATH.
set -eu
cd "$(dirname "$0")"
: "${MIRROR:?is not given: MIRROR=host/path sh mirror.sh}"
crane=${CRANE:-crane}
MIRROR=${MIRROR%/}
while read -r image; do
    repository=${image%@*}
    from=${repository%/*}
    digest=${image#*@}
    "$crane" copy "$image" "$MIRROR/${repository##*/}:$(cat VERSION)"
    signature=sha256-${digest#sha256:}.sig
    if "$crane" digest "$repository:$signature" >/dev/null 2>&1; then
        "$crane" copy "$repository:$signature" "$MIRROR/${repository##*/}:$signature"
    fi
done <images.txt
rm -rf mirrored
mkdir mirrored
cp -R ./*.yaml kustomize samples mirrored/
for file in mirrored/*.yaml mirrored/kustomize/*.yaml; do
    sed -e "s#$from/\([a-z]*@sha256:\)#$MIRROR/\1#g" -e "s#^  registry: .*#  registry: $MIRROR#" "$file" >"$file.new"
    mv "$file.new" "$file"
done
echo "mirrored/ has the manifests for $MIRROR"
