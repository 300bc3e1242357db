-- What a transaction that stored clicks of many links has to add to them, and installs: soon added to the links and removed. Links
-- that are opened in turn lie all over their table, and nobody who stores clicks reads and writes a page for each of them any more;
-- nor do claims of one link wait for each other.
create table link_tallies (
  id text not null primary key,
  tallies text not null
);

-- How many tokens of the link were claimed by an app that was installed after the click.
alter table links add column install_count bigint not null default 0;
update links set install_count = counted.installs
  from (
    select link_id, count(*) as installs from clicks
    where claim_type in ('install_referrer', 'pasteboard', 'fingerprint') group by link_id
  ) as counted
  where counted.link_id = links.id;
