# SPDX-License-Identifier: MIT
"""What the fuzzer of volume specifications starts from: volume_corpus.py DIRECTORY."""
import pathlib
import sys

SPECS = [
    "/data", "name:/data", "/host:/data:ro,z", "./x:/data:rshared", "a:/b:nocopy,cached", ":", "a:b:c:d",
    "../../../..:/../x/.", "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-create-src",
    "type=volume,source=name,target=/x,volume-opt=a=b,volume-label=k,volume-subpath=a/../b,volume-driver=d",
    'type=volume,"volume-opt=o=a,b",dst=/x', '"src=/a""b",dst=/c', '"dst=/x', "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1700",
    "/t:size=1g,mode=700,ro", "/t:uid=0", "mount:ro", "mount:ro,Z", "mount:nocopy", "/" + "a/" * 3000,
    "ab$:/x", "a:/x", "type=image,src=debian,dst=/i,image-subpath=etc", "type=bind,src=.,dst=/b,bind-recursive=disabled",
]


def main():
    place = pathlib.Path(sys.argv[1])
    place.mkdir(exist_ok=True)
    for number, spec in enumerate(SPECS):
        (place / f"{number:02}").write_bytes(spec.encode())


main()
