"""A file of users for tests of limits: `app` may write its own counters and read the shared one,
`root` may everything, `seen` may write those of `app` and read none."""

FILE = (
    "user app on nopass ~app:* %R~shared +@all\nuser root on nopass ~* +@all\nuser seen on "
    "nopass %W~app:* +@all\n"
)
