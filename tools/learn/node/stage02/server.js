// The server: `node server.js`. Its settings are in settings.js.
import { serve } from './http.js';
import { Journal } from './journal.js';
import { journalPath, port } from './settings.js';
import { Table } from './store.js';
import { todoRoutes } from './todos.js';

const journal = await Journal.open(journalPath);
const todos = new Table(journal, 'todos');

serve(todoRoutes(() => todos), port);
