"""The jobs' parent: a process of its own, standard library only, imports nothing of ours.

One shepherd a home. One thread at a time acts, so that what it sets on itself (directory, umask,
limits) its next child inherits, with no race. The first thread does everything but for two things:
along a lane of short jobs a runner goes from one to the next, and somebody waits for the disk, who
knows of nothing else. The order is: write the intent, spawn, write who it is, reap, end what is
left, write the end, tell. What it has not been told to forget, it keeps.

    main        arguments, the lock, signals, the socket: from nothing to a running loop
    privileges  giving up root, where it is root that has us serve a user
    loop        one turn: descriptors, children, timers, one sync, reports
    requests    what stokerd asks; orders: what is left to do about it; connection: frames and
                descriptors on the private socket
    herd        all units and groups; units: what they are; telling: what is said of them, in JSON
    births      from an intent to a process; lanes: who follows whom; deaths: from there to an end
    runners     threads that go along lanes, and how they and the first one take turns
    spawn       makes processes, in native's way (posix_spawn) or forking's; hands: for which thread
    rlimits     limits of a child that all of us have for a moment
    programs    where programs are
    processes   what /proc says of processes; trees: who belongs to whom
    memory      looks at what jobs hold where no control group limits it
    endings     ends groups: TERM, KILL, until nothing is left; limits, timers: when it is time to
    cgroups     the kernel's own grouping, where we may use it
    journal     what survives us; disk: who waits until it does
    adoption    what it means to the next shepherd
    anew        what is done when a turn breaks; log: what is said to people
    reports     what is told, once it is on record
    failpoints  where tests make us fail
"""
