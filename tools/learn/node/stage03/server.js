// The server: `node server.js`. Its settings are in settings.js.
import { serve } from './http.js';
import { Journal } from './journal.js';
import { OwnTodos } from './own-todos.js';
import { journalPath, port } from './settings.js';
import { Table } from './store.js';
import { todoRoutes } from './todos.js';
import { protect, userRoutes } from './users.js';

const journal = await Journal.open(journalPath);
const users = new Table(journal, 'users');
const todos = new Table(journal, 'todos');

const ownTodos = todoRoutes((call) => new OwnTodos(todos, call.user));

serve([...userRoutes(users), ...protect(ownTodos, users)], port);
