-- A rate may be lower than one request a second, so it is no whole number any more. SQLite cannot change a column's type.
alter table destinations add column rate double precision;
update destinations set rate = rate_per_second;
alter table destinations drop column rate_per_second;
alter table destinations rename column rate to rate_per_second;
