-- How many clicks a link had in one transaction that stored clicks of many links: soon added to the link and removed. Links that are
-- opened in turn lie all over their table, and nobody who stores clicks reads and writes a page for each of them any more.
create table link_tallies (
  id text not null primary key,
  link_id text not null,
  clicks bigint not null,
  last_click_at bigint not null
);
