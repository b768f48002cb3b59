# cython: language_level=3, boundscheck=False, wraparound=False
"""Stands in for counters/increments.py, which says what it does."""

from cpython.bytes cimport PyBytes_CheckExact
from cpython.dict cimport PyDict_SetItem
from cpython.list cimport PyList_Append, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject_Hash
from cpython.ref cimport PyObject
from cpython.set cimport PySet_Add

from counter_node.counters.state import MAX

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object, object) except? NULL
    long long PyLong_AsLongLong(object) except? -1
    object PyLong_FromLongLong(long long)

cdef enum:
    PARTS = 64  # of counters/table.py
    SHIFT = 40

cdef long long most = MAX


def increments(state, list commands not None, Py_ssize_t at, list replies):
    cdef list parts = state.values.parts
    cdef dict values
    cdef set dirty = state.dirty
    cdef bint careful = state.careful
    cdef Py_ssize_t end = PyList_GET_SIZE(commands)
    cdef object op, new
    cdef PyObject *found
    cdef long long old
    if state.backlog:
        return at
    while at < end:
        op = <object>PyList_GET_ITEM(commands, at)
        if not PyBytes_CheckExact(op):
            break
        values = <dict>PyList_GET_ITEM(parts, (PyObject_Hash(op) >> SHIFT) & (PARTS - 1))
        found = PyDict_GetItemWithError(values, op)
        if found is NULL:
            break
        old = PyLong_AsLongLong(<object>found)
        if old >= most:
            break
        if careful:
            state.changing(op)
        new = PyLong_FromLongLong(old + 1)
        PyDict_SetItem(values, op, new)
        if replies is not None:
            PyList_Append(replies, new)
        if dirty is not None:
            PySet_Add(dirty, op)
        at += 1
    return at
