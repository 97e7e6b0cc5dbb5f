# SPDX-License-Identifier: MIT
"""What was promised, as a table."""

VOLUME_METADATA = ("volume-find/cold", "volume-find/warm", "volume-stat/cold", "volume-stat/warm",
                   "volume-list/cold", "volume-list/warm", "volume-chmod", "volume-create",
                   "volume-rm", "volume-untar")
VOLUME_SMALL = ("volume-read-4k/warm", "volume-randread-4k/warm", "volume-write-4k",
                "volume-randwrite-4k", "volume-sync-4k", "volume-randsync-4k")
VOLUME_DATA = (*VOLUME_SMALL, "volume-read-4k/cold", "volume-randread-4k/cold",
               "volume-read-1m/cold", "volume-read-1m/warm", "volume-write-1m")

# What was promised: (measure, contender, peer, at most this many times the peer's median).
PROMISES = (
    ("tar/warm", "plyfs-stateless", "kernel", 1.0),
    ("find/cold", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("untar", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-upper", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("rm-lower", "plyfs-stateless", "fuse-overlayfs", 0.5),
    ("chown", "plyfs-stateless", "fuse-overlayfs", 0.5),
    *((name, "unwatched", "without", 1.02)
      for name in ("ledger-find/cold", "ledger-find/warm", "ledger-untar", "ledger-chmod")),
    ("ledger-copyups", "ledger", "named-without", 1.05),
    *((name, "plyfs-volume", "bind", 1 / 0.95) for name in VOLUME_SMALL),
    *((name, ours, "bindfs-user", most)
      for ours in ("plyfs-volume-user", "plyfs-volume-cached")
      for names, most in ((VOLUME_METADATA, 0.5), (VOLUME_DATA, 1.0)) for name in names),
)
