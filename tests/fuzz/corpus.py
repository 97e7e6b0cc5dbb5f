#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the fuzzers of texts start from: corpus.py DIRECTORY writes a directory for each target.

What a fuzzer once found lies beside this file as found/TARGET/NAME, and is replayed with it.
"""
import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEX = "0123456789abcdef" * 4
SHA = f"sha256:{HEX}"

OPTIONS = [
    "lowerdir=a:b,upperdir=u,workdir=w", r"lowerdir=a\:b:c\,d", "lowerdir=/a\nlowerdir+=/b\nupperdir=u",
    "redirect_dir=on,metacopy=off,index=1,writeback=true", "timeout=1.5,threads=4", "timeout=nan", "timeout=1e400",
    "timeout=-1", "threads=-1", "threads=99999999999", "uidmapping=0:1000:1", "squash_to_uid=0", "ro,nosuid,dev,noatime",
    "profile=tracked\ntrace,allow_other", "volatile,fsync=0,userxattr,debug", "unknown=1", "=", ",,,", "\\", "xino=on",
    "fsname=x,subtype=y", "lowerdir=" + "a:" * 300, "context=x", "default_permissions,noacl,static_nlink",
]

OVERRIDES = [
    "0:0:755", "1000:100:4755:file", "0:0:0644:block-8-0", "0:0:644:char-1-3", "0:0:644:pipe", "1:2:777:socket",
    "0:0:755:dir", "0:0:777:symlink", "4294967295:0:0", "-1:0:0", "0:0:100644", "0:0:644:block-4095-1048575",
    "0:0:644:block-99999999999-1", "0:0:644:block", "::", "", "0:0:8", " 0:0:644", "0:0:644:file-1-1",
]

TARNAMES = [
    "a/b", "./a", "/a", "..", "a/../b", "a//b", ".", "", ".wh.a", "d/.wh.b", ".wh..wh..opq", "d/.wh..wh..opq", ".wh..wh.plnk",
    ".wh.", ".wh..", ".wh...", ".wh.a/b", "a/", "d/" * 256 + "f", "d/" * 255 + "f", "n" * 255, "n" * 256, "\\xff", "new\nline",
    "a/./b", "a/.wh.x/.wh.y", "x/" + "n" * 4096,
]

VOLUMES = [
    "/data", "name:/data", "/host:/data:ro,z", "./x:/data:rshared", "a:/b:nocopy,cached", ":", "a:b:c:d",
    "../../../..:/../x/.", "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-create-src",
    "type=volume,source=name,target=/x,volume-opt=a=b,volume-label=k,volume-subpath=a/../b,volume-driver=d",
    'type=volume,"volume-opt=o=a,b",dst=/x', '"src=/a""b",dst=/c', '"dst=/x', "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1700",
    "/t:size=1g,mode=700,ro", "/t:uid=0", "mount:ro", "mount:ro,Z", "mount:nocopy", "/" + "a/" * 3000,
    "ab$:/x", "a:/x", "type=image,src=debian,dst=/i,image-subpath=etc", "type=bind,src=.,dst=/b,bind-recursive=disabled",
]

CONFIG = {
    "created": "2026-01-01T00:00:00Z", "architecture": "arm", "variant": "v7", "os": "linux",
    "config": {"User": "a:b", "Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/e"], "Cmd": ["sh", "-c", "x"],
               "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}}, "WorkingDir": "/w", "StopSignal": "SIGINT",
               "Labels": {"k": "v"}},
    "rootfs": {"type": "layers", "diff_ids": [SHA]},
    "history": [{"created_by": "x", "comment": "c"}, {"created_by": "y", "empty_layer": True}],
}
DESCRIPTOR = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": SHA, "size": 7}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": SHA, "size": 9}
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": DESCRIPTOR,
            "layers": [LAYER, {**LAYER, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}]}
INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
    {"mediaType": MANIFEST["mediaType"], "digest": SHA, "size": 7, "platform": {"os": "linux", "architecture": "amd64"},
     "annotations": {"org.opencontainers.image.ref.name": "a:b"}}]}
ARCHIVE = [{"Config": f"{HEX}.json", "RepoTags": ["a:b", None], "Layers": ["a/layer.tar", "../x"]}]

IMAGES = [
    json.dumps(CONFIG), json.dumps(MANIFEST), json.dumps(INDEX), json.dumps(ARCHIVE), json.dumps(ARCHIVE * 3),
    json.dumps({"rootfs": {"diff_ids": []}}), json.dumps({**CONFIG, "config": None}), json.dumps({**CONFIG, "history": [{}]}),
    json.dumps({**MANIFEST, "manifests": []}), '{"imageLayoutVersion": "1.0.0"}', '{"a":1,"a":2}', "[" * 3000, "{", "null", "1e999",
    '"\\ud800"', '{"rootfs":{"diff_ids":["sha256:' + "g" * 64 + '"]}}',
    'CMD ["sh", "-c", "date"]\nENTRYPOINT date\nENV A=1 B="two words"\nENV A all the rest\nLABEL a=b\nEXPOSE 80 53/udp 8000-8010',
    'USER name:group\nVOLUME ["/data"]\nVOLUME /data /log\nWORKDIR /srv\nWORKDIR x/../y\nCMD=["a"]\nEXPOSE 70000', "ENV A=\"x\nENV\n=\nFROM x",
]

FILTERS = [
    "op=write,chmod,path=/etc/**,slow=1ms", "op=copyup\npid=7", "slow=1.5s", "slow=1e30s", "slow=-1s", "pid=99999999999", "pid=-1",
    "path=", "op=", "op=nothing", "=", "op", "path=a,b", "slow=nan", "op=write\npath=**/x\npath=*.d\npid=1\npid=2\nslow=5us", ",",
]

GLOBS = [
    "/usr\na/b", "*.log\na/x.log", "**\na", "/a/**\na/b/c", "a/**/b\na/b", "**/x/**\nx", "[a-z]/\nd", "[\n[", "[!a]*\nb", "a\\*\na*",
    "..\nx", "a/../b\nb", "/\n", "a//b\na/b", "?\né", "**/" * 12 + "x\n" + "a/" * 12 + "y", "*" * 30 + "\n" + "a" * 60, "a/\na",
]

WORDS = [
    "512", "64k", "1.5G", "10GB", "99999999999999999999", "1e3", "-1", " 1", "0x10", "1.", ".5", "1kib", "1MiB", "18446744073709551615",
    "16777216T", "10m", "2026-01-31T12:00:00Z", "2026-01-31", "@1769860800", "@-1", "99999999999999d", "2026-02-30", "0000-00-00",
    "debian:12", "docker.io/library/debian", "localhost:5000/a/b:c", "a@sha256:" + HEX, HEX, "A:b", "a:" + "t" * 129, "a/" * 200 + "b",
    "linux/arm/v7", "linux", "//", "l" * 200 + "/a", "type=tmpfs\ndevice=tmpfs\no=size=64m,uid=1000", "type=none\ndevice=/x\no=bind",
    "type=nfs\no=addr=1.2.3.4,rw\ndevice=:/path", "size=1g", "type=-o\ndevice=-x", "o=bind,exec\ndevice=a\ntype=none",
    "500us", "10ms", "1.5s", "1e400s", "infs",
]

MARKS = [
    # Object 'b' is u/d, 'd' u/f, 'h' 1/d, 'j' 1/f, 'n' 2/d; attribute 'a' opaque, 'b' redirect, 'c' metacopy, 'd' origin...
    "bay", "bax", "hax\njg", "bb/out", "bb../../out", "bb/..", "bb/d/e", "bbl", "bb/l", "bb/l2", "db/f\ndc", "dc\njc", "dc\njc\npc",
    "db../evil\ndc", "db/../out/f\ndc", "db/d/f\ndc\nib/f\nic", "bb/", "bb", "hb/d/e\nbb/x", "hb/l", "bb//d", "bb/./d", "bb/" + "d" * 255,
    "bb/" + "d/" * 120, "dd\x01\xfb\x04\x00", "dd" + "\xff" * 21, "ddfbx", "de\nbe", "dfU+1", "dfL-99999999999", "dgy", "bax\ncgy",
    "dj0:0:4755:block-8-0", "bj0:0:0:file", "ab/x", "gb/d", "gax\nhax", "fg", "be", "dc" + "\0" * 36, "dc\0\x24\0\x01" + "s" * 32,
]

LISTS = [
    b"", b"x", f"{HEX[:32]} {HEX[:32]} 5 f a\0".encode(), f"- - 0 d .\0{HEX[:32]} - 0 d d\0{HEX[:32]} {HEX[:32]} 3 f d/f\0".encode(),
    f"{HEX[:32]} - 0 w a\0{HEX[:32]} - 0 o a\0".encode(), f"{HEX[:32]} {HEX[:32]} 99999999999999999999 f a\0".encode(),
    f"{HEX[:32]} {HEX[:32]} 5 f a".encode(), f"{HEX[:32]} {HEX[:32]} 5 z a\0".encode(), b"- - 0 d \xff\0", b"- - -1 f ../x\0",
]

REQUESTS = [
    '{"do": "state"}\n', '{"do": "attach", "destination": "/data"}\n', '{"ok": true}\n', '{"ok": false, "errno": "EBUSY", "why": "words"}\n',
    '{"ok": true, "stream": true}\n{"Event": "copyup"}\n{"a": 1}\n', '{"ok": true, "stream": true}\n[]\n', '{"ok": true, "stream": true}\nhalf',
    "{}\n", "[]\n", "\n", "{", '{"a":1,"a":2}\n', '{"ok": 1}\n', '{"ok": false, "errno": "ENOTHING"}\n', '{"ok": false, "errno": 5, "why": []}\n',
    "[" * 3000 + "\n", '{"do": "\\u0000"}\n', '{"do": "x"}\n{"do": "y"}\n', '{"ok": true, "stream": true, "x": "' + "y" * 5000 + '"}\n{}\n',
]

ANSWERS = [
    '{"Err": ""}', '{"Err": "no"}', '{"Volume": {"Name": "v", "Mountpoint": "/mnt/v"}, "Mountpoint": "/mnt/v", "Err": ""}',
    '{"Volumes": [{"Name": "v", "Mountpoint": ""}, {"Name": ""}, {}, null], "Err": null}', '{"Capabilities": {"Scope": "global"}}',
    '{"Mountpoint": "../x"}', '{"Mountpoint": 5}', '{"Err": 5}', "", " ", "[]", "null", '{"Implements": ["VolumeDriver"]}', "!{}",
    '!{"Implements": "x"}', "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 301 X\r\nLocation: file:///etc/passwd\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", "HTTP/9", "HTTP/1.1 100 Continue\r\n\r\n", '{"Err": "\\u001b[2J\\n"}',
    "unix:///run/x.sock", "tcp://host:1", "http://host", "https://host/", "file:///etc", "unix://x", "a b",
    '{"Name": "x", "Addr": "https://host", "TLSConfig": {"InsecureSkipVerify": true, "CAFile": "/ca", "CertFile": "/c", "KeyFile": "/k"}}',
    '{"Addr": "unix:///run/x.sock"}', '{"Addr": ""}', '{"Addr": "https://h", "TLSConfig": []}',
]

TARGETS = {
    "options": OPTIONS, "override": OVERRIDES, "tarname": TARNAMES, "volumespec": VOLUMES, "oci": IMAGES, "trace": FILTERS,
    "pathglob": GLOBS, "words": WORDS, "marks": MARKS, "entries": LISTS, "control": REQUESTS, "plugin": ANSWERS,
}


def main():
    place = pathlib.Path(sys.argv[1])
    for target, seeds in TARGETS.items():
        (place / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            data = seed if isinstance(seed, bytes) else seed.encode("latin-1", "replace")
            (place / target / f"{number:02}").write_bytes(data)
    for found in sorted((HERE / "found").glob("*/*")):
        (place / found.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, place / found.parent.name / f"found-{found.name}")


main()
