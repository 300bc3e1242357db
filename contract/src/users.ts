// A user as an app names them in its calls. Needed by LinkMe's own endpoints.
import { z } from "zod";

export const USER_ID_MAX_CHARS = 256;

const error = `the app's own id of the user: a text of up to ${USER_ID_MAX_CHARS} characters, or a number`;
export const UserId = z.string({ error }).max(USER_ID_MAX_CHARS, { error });

const Named = z.union([UserId, z.number()], { error }).transform(String).nullish();

/** Members of a call that may say who the user is. LinkMe's app events have `userId`. */
export const UserIds = { user_id: Named, userId: Named };

/** The user whom a call names; null where it names none. */
export function userIdOf({
  user_id,
  userId,
}: {
  user_id?: string | null | undefined;
  userId?: string | null | undefined;
}) {
  return userId || user_id || null;
}
