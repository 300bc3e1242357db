-- What a dispatcher sends at present where that is less than its part of a webhook's settings: bounded JSON text, null when nothing is.
alter table dispatchers add column limits text;
