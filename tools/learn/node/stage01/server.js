// The server: `node server.js`. It listens on the port that PORT names, else on 8000.
import { serve } from './http.js';
import { Table } from './store.js';
import { todoRoutes } from './todos.js';

const todos = new Table();

serve(todoRoutes(() => todos), process.env.PORT ?? 8000);
