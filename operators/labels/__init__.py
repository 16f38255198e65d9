"""Late truth: labels that say, days after an event, what it was.

    records --decode--> labels --desk--> changes --scatter--> label parts --KindObserver.update--> windows

A label belongs to the pane of its event's own time, and is known from its `known_at` on: it is counted behind every event
with an earlier ingest time, and before all others.
"""
