-- `none`, `link`, or `leaving`: it was `link`, and deliveries of that time still have a key.
alter table destinations add column ordering text not null default 'none';

-- Deliveries of one destination with the same key go out one after another; null: whenever they are due.
alter table deliveries add column order_key text;
-- Whose turn it is, and whether one of the key is on its way. Deliveries without a key are in neither of them.
create index deliveries_turn on deliveries (destination_id, order_key, position) where state = 'pending' and order_key is not null;
create index deliveries_held on deliveries (destination_id, order_key) where leased = 1 and order_key is not null;
