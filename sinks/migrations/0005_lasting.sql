-- Who asks what reaches into a range asks for the end of it, which is in no key: without these, every row that ever
-- began before the range would be looked at. One that is open has no end.

CREATE INDEX gaps_by_end ON gaps (coalesce(until_time, 'infinity'::timestamptz));
CREATE INDEX continuity_by_end ON continuity (end_time);
