-- The token of a click goes to the web address of a link, or of its app, also where that is on no domain of the app.
alter table apps add column cid_on_web_fallback integer not null default 0;
