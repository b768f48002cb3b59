# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Stands in for the commonest of the engine of scripts (script/): operators, calls, and replies.

1. Each function here decides whether its case is the common one before it changes or charges anything. All other cases go to the
   twin in Python, whole: so errors, their words and their order are the twin's alone.
2. What the common case charges is what the twin charges: the same counts, and a budget that is spent raises where the twin raises.
3. Modules of other rooms are imported when the first engine is made: they import this one."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdio cimport snprintf

cdef extern from "Python.h":
    int PyLong_CheckExact(object)

cdef enum:
    TABLE_BYTES = 160  # of script/limits.py
    ENTRY_BYTES = 96
    LONG = 1024  # of script/operations.py
    DIGITS = 18  # of what is a number, rounded as C does it

cdef double WHOLE = 1e14
cdef double ARGUMENT = 2.0 ** 62
cdef double INT64 = 2.0 ** 63


cdef class Table:
    """Of script/values.py, `PureTable`."""
    cdef public list arr
    cdef public dict map
    cdef public object order

    def __init__(self, list arr not None, dict of not None):
        self.arr = arr
        self.map = of

    def get(self, key):
        cdef double place
        if PyFloat_CheckExact(key):
            place = PyFloat_AS_DOUBLE(key)
            if 1.0 <= place <= PyList_GET_SIZE(self.arr) and <Py_ssize_t>place == place:
                return self.arr[<Py_ssize_t>place - 1]
        return self.map.get(key)

    def trim(self):
        _trim(self.arr)

    def gather(self):
        while (value := self.map.get(<double>(PyList_GET_SIZE(self.arr) + 1))) is not None:
            self.map[<double>(PyList_GET_SIZE(self.arr) + 1)] = None
            self.arr.append(value)


cdef int _trim(list arr) except -1:
    while PyList_GET_SIZE(arr) and <object>PyList_GET_ITEM(arr, PyList_GET_SIZE(arr) - 1) is None:
        arr.pop()
    return 0


cdef Table _table(list arr, dict of):
    cdef Table made = Table.__new__(Table)
    made.arr = arr
    made.map = of
    return made


# --- budgets ------------------------------------------------------------------------------------------------------------------------


cdef int _work(budget, long long steps) except -1:
    cdef long long left = budget.steps
    left -= steps
    budget.steps = left
    if left < 0:
        budget.out_of_steps()
    return 0


cdef int _make(budget, long long size) except -1:
    cdef long long left = budget.left_bytes
    left -= size
    budget.left_bytes = left
    if left < 0:
        budget.make(0)  # raises
    return 0


# --- numbers ------------------------------------------------------------------------------------------------------------------------


cdef double _digits(bytes text) noexcept:
    """The number that up to 18 digits are; -1: it is something else."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text), at
    cdef const char *of = PyBytes_AS_STRING(text)
    cdef long long value = 0
    if size == 0 or size > DIGITS:
        return -1
    for at in range(size):
        if not c'0' <= of[at] <= c'9':
            return -1
        value = value * 10 + (of[at] - c'0')
    return <double>value


cdef bint _whole(double number, double most) noexcept:
    return -most < number < most and <double><long long>number == number


cdef bytes _decimal(long long number):
    cdef char room[24]
    return PyBytes_FromStringAndSize(room, snprintf(room, sizeof(room), "%lld", number))


# --- the engine ---------------------------------------------------------------------------------------------------------------------


cdef class Shortcuts:
    """Of one engine: what its programs call instead of `pure`, the names of the twins."""
    cdef object _run, _budget, _wrong, _read, _show, _argument, _to_lua, _to_reply, _failure, _status, _failed, _error_table
    cdef object _false
    cdef dict _pure

    def __init__(self, run, dict pure not None):
        from counter_node.script import library_redis, numbers, operations, replies, values
        self._run, self._budget, self._pure = run, run.budget, dict(pure)
        self._wrong = operations.wrong
        self._read, self._show, self._argument = numbers.read, numbers.show, numbers.argument
        self._to_lua, self._to_reply = replies.to_lua, replies.to_reply
        self._failure, self._status = replies.Failure, replies.Status
        self._failed, self._error_table = library_redis.failed, replies.error_table
        self._false = values.FALSE

    def names(self):
        return {
            "field": self.field, "item": self.item, "index": self.index, "equal": self.equal, "less": self.less,
            "at_most": self.at_most, "more": self.more, "at_least": self.at_least, "add": self.add,
            "subtract": self.subtract, "multiply": self.multiply, "over": self.over, "many": self.many,
            "concatenate": self.concatenate, "new_table": self.new_table, "new_list": self.new_list,
            "c_tonumber": self.tonumber, "c_math_floor": self.floor, "c_math_ceil": self.ceil, "c_math_max": self.max,
            "c_math_min": self.min, "c_redis_call": self.call, "c_redis_pcall": self.pcall,
        }

    def field(self, table, key, info):
        if type(table) is Table:
            return (<Table>table).map.get(key)
        return self._pure["field"](table, key, info)

    def item(self, table, Py_ssize_t place, info):
        if type(table) is Table and place < PyList_GET_SIZE((<Table>table).arr):
            return <object>PyList_GET_ITEM((<Table>table).arr, place)
        return self._pure["item"](table, place, info)

    def index(self, table, key, info):
        cdef double place
        if type(table) is Table:
            if PyFloat_CheckExact(key):
                place = PyFloat_AS_DOUBLE(key)
                if 1.0 <= place <= PyList_GET_SIZE((<Table>table).arr) and <double><Py_ssize_t>place == place:
                    return <object>PyList_GET_ITEM((<Table>table).arr, <Py_ssize_t>place - 1)
                return (<Table>table).map.get(key)
            if PyBytes_CheckExact(key) and PyBytes_GET_SIZE(key) <= LONG:
                return (<Table>table).map.get(key)
        return self._pure["index"](table, key, info)

    def equal(self, a, b):
        if PyBytes_CheckExact(a) and PyBytes_GET_SIZE(a) > LONG:
            return self._pure["equal"](a, b)
        return a == b

    def less(self, a, b, line):
        if PyFloat_CheckExact(a) and PyFloat_CheckExact(b):
            return PyFloat_AS_DOUBLE(a) < PyFloat_AS_DOUBLE(b)
        return self._pure["less"](a, b, line)

    def at_most(self, a, b, line):
        if PyFloat_CheckExact(a) and PyFloat_CheckExact(b):
            return PyFloat_AS_DOUBLE(a) <= PyFloat_AS_DOUBLE(b)
        return self._pure["at_most"](a, b, line)

    def more(self, a, b, line):
        if PyFloat_CheckExact(a) and PyFloat_CheckExact(b):
            return PyFloat_AS_DOUBLE(b) < PyFloat_AS_DOUBLE(a)
        return self._pure["more"](a, b, line)

    def at_least(self, a, b, line):
        if PyFloat_CheckExact(a) and PyFloat_CheckExact(b):
            return PyFloat_AS_DOUBLE(b) <= PyFloat_AS_DOUBLE(a)
        return self._pure["at_least"](a, b, line)

    cdef object _number(self, value):
        """Of an operand: a float, or None. A text costs steps."""
        cdef double found
        if PyFloat_CheckExact(value):
            return value
        if not PyBytes_CheckExact(value):
            return None
        _work(self._budget, 3)
        found = _digits(<bytes>value)
        return found if found >= 0 else self._read(value)

    cdef int _numbers(self, a, b, info, double *left, double *right) except -1:
        if PyFloat_CheckExact(a) and PyFloat_CheckExact(b):
            left[0], right[0] = PyFloat_AS_DOUBLE(a), PyFloat_AS_DOUBLE(b)
            return 0
        first, second = self._number(a), self._number(b)
        if first is None:
            raise self._wrong(info, 1, a, b"perform arithmetic on")
        if second is None:
            raise self._wrong(info, 2, b, b"perform arithmetic on")
        left[0], right[0] = first, second
        return 0

    def add(self, a, b, info):
        cdef double left, right
        self._numbers(a, b, info, &left, &right)
        return left + right

    def subtract(self, a, b, info):
        cdef double left, right
        self._numbers(a, b, info, &left, &right)
        return left - right

    def multiply(self, a, b, info):
        cdef double left, right
        self._numbers(a, b, info, &left, &right)
        return left * right

    def over(self, a, b, info):
        cdef double left, right
        self._numbers(a, b, info, &left, &right)
        if right == 0:
            return self._pure["over"](left, right, info)
        return left / right

    def many(self, result):
        if type(result) is tuple:
            return result if len(<tuple>result) <= 8 else self._pure["many"](result)
        return (result,)

    def concatenate(self, tuple parts not None, info):
        cdef Py_ssize_t size = 0
        cdef list texts = []
        for part in parts:
            if PyBytes_CheckExact(part):
                text = part
            elif PyFloat_CheckExact(part):
                text = self._shown(PyFloat_AS_DOUBLE(part), part)
            else:
                return self._pure["concatenate"](parts, info)
            size += PyBytes_GET_SIZE(text)
            texts.append(text)
        _make(self._budget, size + 48)
        return b"".join(texts)

    cdef object _shown(self, double number, of):
        if number != 0 and _whole(number, WHOLE):
            return _decimal(<long long>number)
        return self._show(of)

    def new_table(self):
        _make(self._budget, TABLE_BYTES)
        return _table([], {})

    def new_list(self, list values not None):
        _make(self._budget, TABLE_BYTES + 16 * PyList_GET_SIZE(values))
        _trim(values)
        return _table(values, {})

    def tonumber(self, *arguments):
        cdef double found
        if len(arguments) == 2:
            value = arguments[1]
            if PyFloat_CheckExact(value):
                return value
            if PyBytes_CheckExact(value):
                _work(self._budget, 2)
                found = _digits(<bytes>value)
                return found if found >= 0 else self._read(value)
        return self._pure["c_tonumber"](*arguments)

    def floor(self, *arguments):
        cdef double number
        if len(arguments) == 2 and PyFloat_CheckExact(arguments[1]):
            number = PyFloat_AS_DOUBLE(arguments[1])
            if _whole(number, INT64) and number != 0:
                return arguments[1]
            if 0 < number < WHOLE:
                return <double><long long>number
        return self._pure["c_math_floor"](*arguments)

    def ceil(self, *arguments):
        cdef double number
        if len(arguments) == 2 and PyFloat_CheckExact(arguments[1]):
            number = PyFloat_AS_DOUBLE(arguments[1])
            if _whole(number, INT64) and number != 0:
                return arguments[1]
            if 0 < number < WHOLE:
                return <double>(<long long>number + 1)
        return self._pure["c_math_ceil"](*arguments)

    def max(self, *arguments):
        if len(arguments) == 3 and PyFloat_CheckExact(arguments[1]) and PyFloat_CheckExact(arguments[2]):
            _work(self._budget, 1)
            return arguments[2] if PyFloat_AS_DOUBLE(arguments[2]) > PyFloat_AS_DOUBLE(arguments[1]) else arguments[1]
        return self._pure["c_math_max"](*arguments)

    def min(self, *arguments):
        if len(arguments) == 3 and PyFloat_CheckExact(arguments[1]) and PyFloat_CheckExact(arguments[2]):
            _work(self._budget, 1)
            return arguments[2] if PyFloat_AS_DOUBLE(arguments[2]) < PyFloat_AS_DOUBLE(arguments[1]) else arguments[1]
        return self._pure["c_math_min"](*arguments)

    cdef list _words(self, tuple arguments):
        """Of a command, behind the line; None: they are for the twin."""
        cdef Py_ssize_t at, count = len(arguments)
        cdef list words = []
        cdef double number
        if count < 2:
            return None
        for at in range(1, count):
            word = arguments[at]
            if PyFloat_CheckExact(word):
                number = PyFloat_AS_DOUBLE(word)
                word = _decimal(<long long>number) if _whole(number, ARGUMENT) else self._argument(word)
            elif not PyBytes_CheckExact(word):
                return None
            words.append(word)
        return words

    cdef object _reply(self, list words):
        cdef object run = self._run, budget = self._budget
        cdef long long left = budget.commands
        if left <= 0:
            budget.command()  # raises
        budget.commands = left - 1
        return run.command(words, run.protocol)

    cdef object _lua(self, reply):
        cdef list made
        if PyLong_CheckExact(reply):
            return <double>reply
        if PyBytes_CheckExact(reply):
            _make(self._budget, PyBytes_GET_SIZE(reply) + 48)
            return reply
        if reply is None:
            return None if self._run.protocol == 3 else self._false
        if PyList_CheckExact(reply):
            _work(self._budget, PyList_GET_SIZE(reply))
            _make(self._budget, TABLE_BYTES + 16 * PyList_GET_SIZE(reply))
            made = [self._lua(each) for each in reply]
            _trim(made)
            return _table(made, {})
        if type(reply) is self._status:
            _make(self._budget, TABLE_BYTES + ENTRY_BYTES)
            return _table([], {b"ok": bytes(reply)})
        return self._to_lua(self._run, reply)

    def call(self, *arguments):
        cdef list words = self._words(arguments)
        if words is None:
            return self._pure["c_redis_call"](*arguments)
        reply = self._reply(words)
        if type(reply) is self._failure:
            raise self._failed(arguments[0], reply)
        return self._lua(reply)

    def pcall(self, *arguments):
        cdef list words = self._words(arguments)
        if words is None:
            return self._pure["c_redis_pcall"](*arguments)
        reply = self._reply(words)
        return self._error_table(bytes(reply)) if type(reply) is self._failure else self._lua(reply)

    cpdef object reply(self, value, Py_ssize_t inside):
        cdef double number
        cdef list elements
        cdef object budget = self._budget
        if PyFloat_CheckExact(value):
            number = PyFloat_AS_DOUBLE(value)
            if -INT64 < number < INT64:
                return <long long>number
        elif PyBytes_CheckExact(value):
            budget.answer(PyBytes_GET_SIZE(value))
            return value
        elif type(value) is Table and not (<Table>value).map and inside < <Py_ssize_t>budget.limits.script_depth:
            _work(budget, 4)
            _make(budget, TABLE_BYTES)
            elements = []
            for each in (<Table>value).arr:
                if each is None:
                    break
                _work(budget, 1)
                _make(budget, 16)
                elements.append(self.reply(each, inside + 1))
            return elements
        return self._to_reply(self._run, value, inside)
