// A list whose members carry their own links: added at its end, taken out anywhere, read from its beginning.
// For what comes and goes with every event, in place of a Set. A Set that churns is copied into a new table again and again,
// and each old table keeps the next one, with all that was in it, until a full collection: measured, 3.6 KB of each redirect
// outlived it, and scavenges took twice as long. Members that were taken out keep nothing.

/** What a member carries; null while it is in no list. A member is in one list at a time. */
export interface Listed<Member> {
  previous: Member | null;
  next: Member | null;
}

export interface LinkedList<Member extends Listed<Member>> {
  /** The member that was added first. */
  first: Member | null;
  last: Member | null;
  size: number;
}

export function createLinkedList<Member extends Listed<Member>>(): LinkedList<Member> {
  return { first: null, last: null, size: 0 };
}

/** Adds a member that is in no list. */
export function append<Member extends Listed<Member>>(list: LinkedList<Member>, member: Member): void {
  member.previous = list.last;
  if (list.last === null) list.first = member;
  else list.last.next = member;
  list.last = member;
  list.size++;
}

/** For a member that is in this list or in none. */
export function has<Member extends Listed<Member>>(list: LinkedList<Member>, member: Member): boolean {
  return member.previous !== null || list.first === member;
}

/** Takes a member out that is in this list or in none; false, and nothing changes, when it is in none. */
export function remove<Member extends Listed<Member>>(list: LinkedList<Member>, member: Member): boolean {
  if (!has(list, member)) return false;
  if (member.previous === null) list.first = member.next;
  else member.previous.next = member.next;
  if (member.next === null) list.last = member.previous;
  else member.next.previous = member.previous;
  member.previous = null;
  member.next = null;
  list.size--;
  return true;
}

/** Takes out the member that was added first. */
export function takeFirst<Member extends Listed<Member>>(list: LinkedList<Member>): Member | null {
  const { first } = list;
  if (first !== null) remove(list, first);
  return first;
}

/** All members, in order. The one that was handed out last may be taken out meanwhile. */
export function* each<Member extends Listed<Member>>(list: LinkedList<Member>): Iterable<Member> {
  for (let member = list.first; member !== null; ) {
    const { next } = member;
    yield member;
    member = next;
  }
}
