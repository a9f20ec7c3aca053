"""Numbers of the record format; ``model/span.py`` explains them, a test keeps the two equal."""

NEXT = 1
ITER = 2
FORWARD = 3
BACKWARD = 4
OPTIMIZER = 5
SCALER = 6
TRANSFER = 7
SYNC = 8
COLLECTIVE = 9
SAVE = 10
LOG = 11
GC = 12
COMPILE = 13
ZERO_GRAD = 14
BATCH = 15
COLLATE = 16
TRANSFORM = 17
BATCH_IO = 18
MARK = 19
GAP = 20
PAUSE = 21
FUNCTION = 22
DDP_TIMING = 23
LOSS = 24
METRIC = 25
SAMPLE = 26
DEVICE = 27

TRAINING = 1
GRAD = 2
FIRST = 4
STOP = 8
RAISED = 16
PINNED = 32
NON_BLOCKING = 64
UNCLOCKED = 128
WAIT = 128
UNREAD = 128
APART = 128

# start_ns, end_ns, kind, flags, thread, name, a, b: 40 bytes, little-endian, no padding.
SPAN = "<qqBBHIqq"
SPAN_BYTES = 40
# magic, block type, three bytes of zeros, payload length, CRC-32 of the payload
BLOCK = "<4sB3xII"
BLOCK_BYTES = 16
MAGIC = b"TBK1"
BLOCK_SPANS = 1
BLOCK_NAME = 2  # u32 id, then UTF-8
BLOCK_EVENT = 3  # JSON
