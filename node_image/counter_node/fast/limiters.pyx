# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""EVALSHA in the lane (lane.pyx): its words, and replies that are lists. What is left to the ordinary way: see __init__.py."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_Append, PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from libc.string cimport memcmp

from counter_node.counters.ops import EVAL
from counter_node.counters.script_table import SHA_BYTES
from counter_node.counters.scripts import BY_SHA

cdef extern from "Python.h":
    int PyLong_CheckExact(object)

cdef enum:
    HEAD = 13  # "$7\r\nEVALSHA\r\n"
    SHA_HEAD = 5  # "$40\r\n"
    SHA = 40
    MOST_WORDS = 64
    MOST_WORD_BYTES = 1024
    MOST_ELEMENTS = 200  # of one reply: the ordinary way makes bytes of long ones in pieces

assert SHA_BYTES == SHA

cdef bytes upper = b"$7\r\nEVALSHA\r\n", lower = b"$7\r\nevalsha\r\n", sha_head = b"$40\r\n"
cdef const char *upper_head = upper
cdef const char *lower_head = lower
cdef const char *head_of_sha = sha_head
cdef object code = EVAL, by_sha = BY_SHA


cdef Py_ssize_t _length(const char **at, const char *end, char mark) noexcept:
    """The number behind a mark, in its plain spelling, up to the end of its line; -1: there is none."""
    cdef const char *of = at[0]
    cdef Py_ssize_t number = 0
    cdef int digits = 0
    if of >= end or of[0] != mark:
        return -1
    of += 1
    while of < end and c'0' <= of[0] <= c'9' and digits < 5:
        number = number * 10 + (of[0] - c'0')
        digits += 1
        of += 1
    if digits == 0 or (digits > 1 and of[-digits] == c'0') or end - of < 2 or of[0] != c'\r' or of[1] != c'\n':
        return -1
    at[0] = of + 2
    return number


cdef bytes _word(const char **at, const char *end):
    """None: it is not whole, or too long."""
    cdef Py_ssize_t size = _length(at, end, c'$')
    cdef const char *of = at[0]
    if size < 0 or size > MOST_WORD_BYTES or end - of < size + 2 or of[size] != c'\r' or of[size + 1] != c'\n':
        return None
    at[0] = of + size + 2
    return PyBytes_FromStringAndSize(of, size)


cdef list _command(const char **at, const char *end):
    """The operation of one EVALSHA, as resp/scripts.py makes it; None: it is for the ordinary way."""
    cdef Py_ssize_t words = _length(at, end, c'*'), keys, number
    cdef list names = [], arguments = []
    cdef bytes sha, count, word
    if not 3 <= words <= MOST_WORDS or end - at[0] < HEAD + SHA_HEAD:
        return None
    if memcmp(at[0], upper_head, HEAD) != 0 and memcmp(at[0], lower_head, HEAD) != 0:
        return None
    at[0] += HEAD
    if memcmp(at[0], head_of_sha, SHA_HEAD) != 0:
        return None
    sha = _word(at, end)
    count = None if sha is None else _word(at, end)
    if count is None or PyBytes_GET_SIZE(count) != 1 or not c'0' <= PyBytes_AS_STRING(count)[0] <= c'9':
        return None
    keys = PyBytes_AS_STRING(count)[0] - c'0'
    if keys > words - 3:
        return None
    for number in range(words - 3):
        word = _word(at, end)
        if word is None:
            return None
        PyList_Append(names if number < keys else arguments, word)
    return [code, by_sha, sha.lower(), names, arguments, None]


def taken(bytes data not None, list ops not None):
    """How many commands the bytes are, when they are nothing but whole EVALSHA; their operations are added. Else 0."""
    cdef const char *at = PyBytes_AS_STRING(data)
    cdef const char *end = at + PyBytes_GET_SIZE(data)
    cdef Py_ssize_t before = PyList_GET_SIZE(ops)
    cdef list op
    while at < end:
        op = _command(&at, end)
        if op is None:
            del ops[before:]
            return 0
        PyList_Append(ops, op)
    return PyList_GET_SIZE(ops) - before


cdef bint _flat(list reply) noexcept:
    """Nothing but integers and strings, and not many."""
    cdef Py_ssize_t at
    if PyList_GET_SIZE(reply) > MOST_ELEMENTS:
        return False
    for at in range(PyList_GET_SIZE(reply)):
        each = <object>PyList_GET_ITEM(reply, at)
        if not (PyLong_CheckExact(each) or PyBytes_CheckExact(each)):
            return False
    return True


def encoded(list replies not None, Py_ssize_t at, Py_ssize_t end):
    """Bytes of replies with lists of integers and strings among them, the same in both versions of the protocol. None: no list is
    among them. False: there are other lists, for which the ordinary way is."""
    cdef list parts = []
    cdef bint lists = False, odd = False
    while at < end:
        reply = <object>PyList_GET_ITEM(replies, at)
        at += 1
        if PyList_CheckExact(reply):
            lists = True
            if odd or not _flat(<list>reply):
                return False
            parts.append(b"*%d\r\n" % PyList_GET_SIZE(reply))
            for each in <list>reply:
                parts.append(b":%d\r\n" % each if PyLong_CheckExact(each) else b"$%d\r\n%s\r\n" % (len(each), each))
        elif PyLong_CheckExact(reply):
            parts.append(b":%d\r\n" % reply)
        elif PyBytes_CheckExact(reply):
            parts.append(b"$%d\r\n%s\r\n" % (len(reply), reply))
        else:
            odd = True
            if lists:
                return False
    return b"".join(parts) if lists else None
