/** With it a message goes to other processes; as a question, it asks how many it has reached there. */
export const MESSAGE_NOTE = 'message';
