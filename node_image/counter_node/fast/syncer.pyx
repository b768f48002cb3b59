# cython: language_level=3
"""A thread that waits for the disk and never for the interpreter: a semaphore tells it to begin, and it tells its end by an eventfd that the event
loop watches."""

from libc.errno cimport errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

import os
import select

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *thread, void *attributes, void *(*run)(void *) noexcept nogil, void *argument)
    int pthread_join(pthread_t thread, void **result)

cdef extern from "semaphore.h" nogil:
    ctypedef struct sem_t:
        pass
    int sem_init(sem_t *semaphore, int shared, unsigned int value)
    int sem_wait(sem_t *semaphore)
    int sem_post(sem_t *semaphore)

cdef extern from "unistd.h" nogil:
    int fdatasync(int descriptor)
    ssize_t write(int descriptor, const void *data, size_t size)

cdef extern from "signal.h" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t *signals)
    int pthread_sigmask(int how, const sigset_t *signals, sigset_t *before)
    int SIG_SETMASK

ctypedef struct Shared:
    sem_t asked
    int descriptor  # to be synced; -1: the thread ends
    int failure  # errno of the last sync, 0 when it went well
    int done_fd  # an eventfd


cdef void *_run(void *argument) noexcept nogil:
    cdef Shared *shared = <Shared *>argument
    cdef uint64_t one = 1
    while True:
        while sem_wait(&shared.asked) != 0:
            pass
        if shared.descriptor < 0:
            return NULL
        shared.failure = errno if fdatasync(shared.descriptor) != 0 else 0
        write(shared.done_fd, &one, sizeof(one))


cdef class Syncer:
    """One sync at a time: `start`, then `result` once `done_fd` is readable."""
    cdef Shared *_shared
    cdef pthread_t _thread
    cdef readonly bint busy

    def __cinit__(self):
        cdef sigset_t every, before
        cdef int failed
        cdef Shared *shared = <Shared *>calloc(1, sizeof(Shared))
        if shared == NULL:
            raise MemoryError()
        shared.done_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        sem_init(&shared.asked, 0, 0)
        sigfillset(&every)
        pthread_sigmask(SIG_SETMASK, &every, &before)  # signals are for the interpreter's own threads
        failed = pthread_create(&self._thread, NULL, _run, shared)
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        if failed:
            os.close(shared.done_fd)
            free(shared)
            raise OSError(failed, os.strerror(failed))
        self._shared = shared

    @property
    def done_fd(self):
        """The eventfd that becomes readable when the sync is done."""
        return self._shared.done_fd

    def start(self, int descriptor):
        assert not self.busy and descriptor >= 0, "one sync at a time"
        self.busy = True
        self._shared.descriptor = descriptor
        sem_post(&self._shared.asked)

    def result(self):
        """errno of the sync, 0 when it went well. Raises BlockingIOError when it is not done yet."""
        os.eventfd_read(self._shared.done_fd)
        self.busy = False
        return self._shared.failure

    def close(self):
        """Waits for the sync under way."""
        cdef Shared *shared = self._shared
        if shared == NULL:
            return
        if self.busy:
            select.select([shared.done_fd], [], [])
            self.result()
        self._shared = NULL
        shared.descriptor = -1
        sem_post(&shared.asked)
        with nogil:
            pthread_join(self._thread, NULL)
        os.close(shared.done_fd)
        free(shared)
