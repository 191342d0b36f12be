/**
 * A recursive part of a WITH, `line`, of the webhooks that have such deliveries: from webhook to webhook,
 * without a look at what is between them, so that a backlog costs one step. The last row is null.
 * @param where SQL about columns of `deliveries`, the condition of a partial index that begins with the
 *   webhook
 */
export const webhooksWith = (where: string): string => `
  RECURSIVE line AS (
    (SELECT webhook_id FROM deliveries WHERE ${where} ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.webhook_id FROM deliveries d
             WHERE ${where} AND d.webhook_id > line.webhook_id ORDER BY d.webhook_id LIMIT 1)
      FROM line WHERE line.webhook_id IS NOT NULL)`;
