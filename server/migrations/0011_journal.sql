-- What was committed, in the order of the commits: one row for what a transaction stored together. `topics` names the apps
-- whose events, and the destinations whose deliveries, are listed in the lines of `changes`, in the same order.
-- Streams read it; rows go after a day (platform/journal-store.ts).
create table journal (
  -- tx: never lower than that of a row that could be read before (platform/sql.ts says how). part: tells the rows of one
  -- transaction apart.
  /* journal key */,
  written_at bigint not null,
  topics text not null,
  changes text not null
) /* journal storage */;
