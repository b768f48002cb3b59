"""Is the suite steady? Every file of it again and again, under a load and on one core as well:
`make flaky`."""
