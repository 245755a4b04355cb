"""A disk that boots, says how often it did, and remembers that on itself.

The whole operating system is one boot sector of real-mode code.  It raises the number
in the sector after it, writes that sector back, tells the number to the first serial
line and switches the machine off.
"""

SECTOR = 512
DISK_BYTES = 4 << 20
GREETING = "imagereg boot"

_CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ec0 8ed0 bc007c fb"  # cli; ds, es, ss = 0; sp = 0x7c00; sti
    "b80102 bb007e b90200 30f6 cd13"  # int 13h: read sector 2 of drive dl to 0x7e00
    "7217"  # jc off
    "fe06007e"  # incb 0x7e00
    "b80103 cd13"  # int 13h: write it back
    "720c"  # jc off
    "be557c e81000"  # print the greeting, which follows the code
    "be007e e80a00"  # print what the sector says
    "ba0406 b80020 ef"  # off: outw 0x2000 to port 0x604, the switch of the machine
    "f4 ebfd"  # hlt, for ever
    "ac 84c0 7412 88c4"  # print: take a byte, end at zero
    "bafd03 ec a820 74f8"  # wait until the serial line is free
    "88e0 baf803 ee ebe9"  # send the byte, go on
    "c3"
)


def bootable() -> bytes:
    """Return the disk, with a partition table and nothing in its partition."""
    sector = _CODE + f"{GREETING} \0".encode()
    first, count = 2048, DISK_BYTES // SECTOR - 2048
    table = b"\x80\0\x21\0\x83\0\0\0" + b"".join(
        number.to_bytes(4, "little") for number in (first, count)
    )
    sector = sector.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"
    return (sector + b"0\r\n\0").ljust(DISK_BYTES, b"\0")
