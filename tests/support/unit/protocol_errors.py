"""What Redis's parser refuses, and in which words."""

from __future__ import annotations

# As redis-server 7.0 answers (test_differential.py asks it).
ERRORS = [
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"),
    (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
    (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
    (b"*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
    (b"*3000000000\r\n", "invalid multibulk length"),
    (b"*blabla\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n", "invalid bulk length"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n", "invalid bulk length"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n", "invalid bulk length"),
    (b"*" + b"1" * 70_000, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
    (b"a" * 70_000, "too big inline request"),
    (b'set """test-key""" test-value\r\n', "unbalanced quotes in request"),
    (b'set "a\r\n', "unbalanced quotes in request"),
]
