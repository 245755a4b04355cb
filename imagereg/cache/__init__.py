"""The node-local copy in front of remote stores: tee, verify, prune.

What correctness relies on, beside the gate, which every download passes before a
byte source is chosen:

* a file gets its final name by one rename, after all its bytes matched the digest
  of the image's record and are on the disk;
* a copy is served only while the digest in the books is the one of the record, so
  an image whose data were replaced never gets the old ones;
* the id of a deleted image never comes back, and its record goes before its copies;
* whoever writes a file holds its lock, which the kernel takes away from the dead.
"""
