/** Who runs the tasks: here, a server. `stencil export --web` puts another module in the place of this one. */
export { createService } from "./api.js";
