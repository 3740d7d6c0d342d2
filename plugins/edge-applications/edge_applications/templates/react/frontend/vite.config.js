import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Relative addresses: the application may be served under a path.
export default defineConfig({ base: "./", plugins: [react()] });
