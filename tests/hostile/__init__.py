"""Peers that hold the code and break the protocol in every way, against the real program on the other side.

case: what a case states. forging: messages as nobody should send them. rogue: the programmable peer. senders, receivers, channels,
races: the cases, in tables. joined: the victim in this process, over channels that hand messages over; processes: the victim as
a process of its own, over a real connection. verdict: what must be true of every victim afterwards. `python -m hostile` runs
everything and tells the count, the longest time and the largest memory.
"""
