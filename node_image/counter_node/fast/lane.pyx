# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The fast lane, compiled. Its rules, and what it leaves to the ordinary way: see __init__.py."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_Append, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Realloc
from libc.string cimport memcmp, memcpy

from time import monotonic

from counter_node.counters.ops import GET
from counter_node.fast.limiters import encoded as encoded_lists, taken as taken_scripts
from counter_node.resp.arguments import MAX_KEY_BYTES
from counter_node.resp.spellings import GET as GET_NAMES, INCR as INCR_NAMES, head

cdef extern from "Python.h":
    int PyLong_CheckExact(object)
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1

cdef extern from "sys/socket.h":
    ssize_t send(int descriptor, const void *data, size_t size, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    BATCH_COMMANDS = 2000
    BATCH_BYTES = 262144
    UNREAD_BYTES = 65536
    LANE_BYTES = 16777216
    INCR_HEAD = 14  # resp/spellings.py
    GET_HEAD = 13
    INTEGER_BYTES = 24  # ":-9223372036854775808\r\n"

COMPILED = True
cdef Py_ssize_t most_key_bytes = MAX_KEY_BYTES
cdef object get_code = GET
cdef bytes incr_heads = b"".join(map(head, INCR_NAMES)), get_heads = b"".join(map(head, GET_NAMES))
cdef const char *incr_head = incr_heads  # each of INCR_HEAD bytes, two of them
cdef const char *get_head = get_heads
assert (len(incr_heads), len(get_heads)) == (2 * INCR_HEAD, 2 * GET_HEAD)


@cython.final
@cython.freelist(1024)
cdef class Share:
    """One connection's part of a batch."""
    cdef LaneEntry entry
    cdef Py_ssize_t count
    cdef Share next  # of the same connection
    cdef object pending  # set when the connection left the lane meanwhile


@cython.final
cdef class LaneBatch:
    """Commands of many connections that go to the gateway, and come back, as one bundle."""
    cdef list shares, ops
    cdef Py_ssize_t bytes
    cdef readonly bint write
    cdef readonly double born_s

    def __cinit__(self, bint write, double born_s):
        self.shares = []
        self.ops = []
        self.write = write
        self.born_s = born_s


cdef Py_ssize_t _commands(const char *at, const char *end, bint write, list ops) except -1:
    """How many commands the bytes are, when they are nothing but whole INCR, or whole GET, of keys that are not too long; else 0."""
    cdef Py_ssize_t count = 0, size, before = PyList_GET_SIZE(ops)
    cdef Py_ssize_t size_of_head = INCR_HEAD if write else GET_HEAD
    cdef int digits
    cdef object newest = <object>PyList_GET_ITEM(ops, before - 1) if write and before else None
    cdef object key = newest if PyBytes_CheckExact(newest) else None  # it may be a script's
    while at < end:
        if end - at < size_of_head + 6:
            break
        if write:
            if memcmp(at, incr_head, INCR_HEAD) != 0 and memcmp(at, incr_head + INCR_HEAD, INCR_HEAD) != 0:
                break
        elif memcmp(at, get_head, GET_HEAD) != 0 and memcmp(at, get_head + GET_HEAD, GET_HEAD) != 0:
            break
        at += size_of_head
        if at[0] != c'$':
            break
        at += 1
        size = digits = 0
        while at < end and c'0' <= at[0] <= c'9' and digits < 6:
            size = size * 10 + (at[0] - c'0')
            digits += 1
            at += 1
        if digits == 0 or size > most_key_bytes or (at[-digits] == c'0' and digits > 1):
            break
        if end - at < size + 4 or at[0] != c'\r' or at[1] != c'\n' or at[size + 2] != c'\r' or at[size + 3] != c'\n':
            break
        # Of a hot counter one name serves all: its hash is known, and comparing it takes no look into it.
        if key is None or PyBytes_GET_SIZE(key) != size or memcmp(PyBytes_AS_STRING(key), at + 2, size) != 0:
            key = PyBytes_FromStringAndSize(at + 2, size)
        PyList_Append(ops, key if write else [get_code, key])
        count += 1
        at += size + 4
    if at == end:
        return count
    del ops[before:]
    return 0


cdef class Lane:
    """Of one server: the batches of this turn."""
    cdef object _submit_write, _submit_read, _wake, _turn
    cdef Py_ssize_t _max_pipeline
    cdef LaneBatch _writes, _reads
    cdef readonly Py_ssize_t commands, held  # taken so far; bytes that are not answered
    cdef public bint alone

    def __init__(self, submit_write, submit_read, wake, turn, Py_ssize_t max_pipeline):
        self._submit_write = submit_write
        self._submit_read = submit_read
        self._wake = wake
        self._turn = turn
        self._max_pipeline = max_pipeline

    cdef LaneBatch _batch(self, bint write):
        cdef LaneBatch batch = self._writes if write else self._reads
        if batch is None:
            batch = LaneBatch(write, monotonic())
            if write:
                self._writes = batch
            else:
                self._reads = batch
        return batch

    cpdef submit(self):
        cdef LaneBatch batch
        if self._writes is not None:
            batch, self._writes = self._writes, None
            if batch.ops:
                self._submit_write(batch, batch.ops)
        if self._reads is not None:
            batch, self._reads = self._reads, None
            if batch.ops:
                self._submit_read(batch, batch.ops)

    def answer(self, LaneBatch batch, list replies):
        cdef list touched = []
        cdef Py_ssize_t at = 0
        cdef Share share
        for share in batch.shares:
            share.entry._answer(self, share, replies, at, touched)
            at += share.count
        assert at == PyList_GET_SIZE(replies), "as many replies as commands"
        self.held -= batch.bytes
        return touched


cdef class Wire:
    """Where one connection's replies are written to."""
    cdef public object transport
    cdef object _owner
    cdef int _descriptor  # of the socket, where nothing is between it and the transport; else -1
    cdef Py_ssize_t _max_unread_bytes

    def __init__(self, owner, Py_ssize_t max_unread_bytes):
        self._owner = owner
        self._max_unread_bytes = max_unread_bytes
        self._descriptor = -1

    def unencrypted(self, int descriptor):
        """What is written to the transport goes to this socket as it is."""
        self._descriptor = descriptor

    def lost(self):
        self.transport = self._owner = None

    cpdef bint write(self, bytes data) except -1:
        """False when the connection has ended, or ends now because the client does not read."""
        cdef object transport = self.transport
        cdef Py_ssize_t sent, size = PyBytes_GET_SIZE(data)
        if transport is None or transport.is_closing():  # its descriptor may be another connection's soon
            return False
        if self._descriptor >= 0 and transport.get_write_buffer_size() == 0:
            sent = send(self._descriptor, PyBytes_AS_STRING(data), size, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent == size:
                return True
            if sent > 0:
                data = data[sent:]
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: closed, although `connection_lost` has not been called yet
            return False
        sent = transport.get_write_buffer_size()
        if sent > UNREAD_BYTES:
            if sent > self._max_unread_bytes:
                self._owner.cut()
                return False
            self._owner.weigh()
        return True


cdef class LaneEntry:
    """Where one connection's bytes go first."""
    cdef public bint open
    cdef readonly Py_ssize_t writes  # commands that are in the lane
    cdef Lane _lane
    cdef Wire _wire
    cdef object _owner
    cdef bint _paused  # for what it has in the lane
    cdef Py_ssize_t _reads
    cdef Py_ssize_t _last_bytes
    cdef str _last_command
    cdef double _active_s
    cdef Share _first, _newest

    def __init__(self, Lane lane, owner, Wire wire):
        self._lane = lane
        self._owner = owner
        self._wire = wire

    def data_received(self, data):
        if not (self.open and self._take(data)):
            if self._first is not None:
                self._leave()
            if self._owner is not None:
                self._owner.receive(data)

    cdef bint _take(self, bytes data) except -1:
        cdef Lane lane = self._lane
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), count
        cdef const char *at = PyBytes_AS_STRING(data)
        cdef bint write, scripts, first
        cdef LaneBatch batch
        cdef Share share
        if lane is None or size < 19:
            return False
        scripts = at[5] == c'7' or at[6] == c'7'
        write = scripts or at[5] == c'4'
        if not write and at[5] != c'3':
            return False
        if lane.held > LANE_BYTES or (self._reads if write else self.writes):
            return False
        batch = lane._batch(write)
        count = taken_scripts(data, batch.ops) if scripts else _commands(at, at + size, write, batch.ops)
        if count == 0:
            return False
        share = Share.__new__(Share)
        share.entry = self
        share.count = count
        if self._first is None:
            self._first = share
        else:
            self._newest.next = share
        self._newest = share
        if write:
            self.writes += count
        else:
            self._reads += count
        self._last_bytes = size
        self._last_command = "evalsha" if scripts else "incr" if write else "get"
        self._active_s = batch.born_s
        lane.commands += count
        batch.bytes += size
        lane.held += size
        first = PyList_GET_SIZE(batch.shares) == 0
        PyList_Append(batch.shares, share)
        if PyList_GET_SIZE(batch.ops) >= BATCH_COMMANDS or batch.bytes >= BATCH_BYTES:
            lane.submit()
        if self.writes + self._reads > lane._max_pipeline:
            self._paused = True
            self._owner.pause("pipeline")
        if first and lane.alone:
            lane.alone = False
            lane._turn()
        elif first:
            lane._wake()
        return True

    cdef _leave(self):
        """What this connection has in the lane takes its place among what goes the ordinary way."""
        cdef Share share = self._first
        self.open = False
        self._lane.submit()
        while share is not None:
            share.pending = self._owner.adopt(share.count, self.writes > 0)
            share = share.next
        self._forget()

    cdef _forget(self):
        self._first = self._newest = None
        self.writes = self._reads = 0
        self._paused = False

    def lost(self):
        """The connection is gone."""
        self._forget()
        self.open = False
        self._owner = None

    cdef _answer(self, Lane lane, Share share, list replies, Py_ssize_t at, list touched):
        cdef object data = None
        if self._owner is None:
            return
        if share.pending is None:
            data = _encoded(replies, at, at + share.count) or encoded_lists(replies, at, at + share.count)
            if data is False or share is not self._first:  # long lists, or an earlier one is not answered yet
                self._leave()
        if share.pending is not None:
            self._owner.answered(share.pending, replies[at:at + share.count])
            touched.append(self._owner)
            return
        self._first = share.next
        if self._first is None:
            self._newest = None
        if self.writes:
            self.writes -= share.count
        else:
            self._reads -= share.count
        if data is None:
            data = self._owner.encoded(replies[at:at + share.count])
        self._wire.write(data)
        if self._paused and 2 * (self.writes + self._reads) <= lane._max_pipeline:
            self._paused = False
            self._owner.resume("pipeline")

    def inform(self, session):
        """Of what the connection sent last, for whoever lists connections."""
        if self._active_s > session.active_s:
            session.active_s = self._active_s
            session.last_bytes = self._last_bytes
            session.last_command = self._last_command


cdef char *_room = NULL
cdef Py_ssize_t _room_bytes = 0


cdef int _make_room(Py_ssize_t size) except -1:
    """Keeps what is there."""
    global _room, _room_bytes
    if size > _room_bytes:
        _room = <char *>PyMem_Realloc(_room, 2 * size)
        if _room == NULL:
            _room_bytes = 0
            raise MemoryError()
        _room_bytes = 2 * size
    return 0


cdef bytes _encoded(list replies, Py_ssize_t at, Py_ssize_t end):
    """Integers and strings as the protocol has them in both versions; None when something else is among them."""
    cdef Py_ssize_t used = 0, size
    cdef object reply
    cdef int overflow = 0
    cdef long long number
    _make_room((end - at) * INTEGER_BYTES)
    while at < end:
        reply = <object>PyList_GET_ITEM(replies, at)
        if PyLong_CheckExact(reply):
            number = PyLong_AsLongLongAndOverflow(reply, &overflow)
            if overflow:
                return None
            _make_room(used + INTEGER_BYTES)
            _room[used] = c':'
            used += 1 + _digits(_room + used + 1, number)
        elif PyBytes_CheckExact(reply):
            size = PyBytes_GET_SIZE(reply)
            _make_room(used + size + INTEGER_BYTES + 2)
            _room[used] = c'$'
            used += 1 + _digits(_room + used + 1, size)
            _room[used] = c'\r'
            _room[used + 1] = c'\n'
            memcpy(_room + used + 2, PyBytes_AS_STRING(reply), size)
            used += 2 + size
        else:
            return None
        _room[used] = c'\r'
        _room[used + 1] = c'\n'
        used += 2
        at += 1
    return PyBytes_FromStringAndSize(_room, used)


cdef Py_ssize_t _digits(char *to, long long number) noexcept:
    """Writes the number in decimals; returns how many bytes."""
    cdef char reversed[20]
    cdef unsigned long long rest = <unsigned long long>number
    cdef Py_ssize_t count = 0, sign = 0, at
    if number < 0:
        to[0] = c'-'
        sign = 1
        rest = 0 - rest
    while True:
        reversed[count] = <char>(c'0' + rest % 10)
        rest //= 10
        count += 1
        if rest == 0:
            break
    for at in range(count):
        to[sign + at] = reversed[count - 1 - at]
    return sign + count
