-- When a replay last made a delivery pending, and after how many claims: what is asked of its schedule counts from there.
alter table deliveries add column armed_at bigint;
alter table deliveries add column armed_attempt bigint;
