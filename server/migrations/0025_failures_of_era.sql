-- The era of which the run of failures is: attempts of an earlier one are no part of it. What was counted is taken for the present one.
alter table destination_health add column era bigint not null default 0;
update destination_health set era = (select era from destinations where destinations.id = destination_health.destination_id)
  where destination_id in (select id from destinations where era > 0);
