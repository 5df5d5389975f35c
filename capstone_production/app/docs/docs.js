// Starts Swagger UI with FastAPI's settings: https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
});
