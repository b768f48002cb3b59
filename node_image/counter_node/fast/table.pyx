# cython: language_level=3, boundscheck=False, wraparound=False
"""Stands in for `PureParts` of counters/table.py, which says what it does."""

from cpython.dict cimport PyDict_SetItem
from cpython.object cimport PyObject_Hash
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object, object) except? NULL

cdef enum:
    PARTS = 64
    SHIFT = 40


cdef class Parts:
    cdef readonly list parts

    def __cinit__(self):
        self.parts = [{} for _ in range(PARTS)]

    def __class_getitem__(cls, _):
        return cls

    cpdef dict part(self, key):
        return <dict>self.parts[(PyObject_Hash(key) >> SHIFT) & (PARTS - 1)]

    def __getitem__(self, key):
        cdef PyObject *found = PyDict_GetItemWithError(self.part(key), key)
        if found is NULL:
            raise KeyError(key)
        return <object>found

    def __setitem__(self, key, value):
        PyDict_SetItem(self.part(key), key, value)

    def __delitem__(self, key):
        del self.part(key)[key]

    def __contains__(self, key):
        return PyDict_GetItemWithError(self.part(key), key) is not NULL

    def __len__(self):
        cdef Py_ssize_t count = 0
        for part in self.parts:
            count += len(<dict>part)
        return count

    def get(self, key, default=None):
        cdef PyObject *found = PyDict_GetItemWithError(self.part(key), key)
        return default if found is NULL else <object>found

    def pop(self, key, default=None):
        return self.part(key).pop(key, default)

    def absorb(self, dict piece not None):
        for key, value in piece.items():
            PyDict_SetItem(self.part(key), key, value)
