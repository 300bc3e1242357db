-- A text that the first start sealed: a process whose key does not open it must not run on this database. No row: no start
-- has looked yet. A row without the text: the next start may come with any key, for the operator has lost the one of before.
create table seal_check (
  id bigint primary key,
  sealed text
);
